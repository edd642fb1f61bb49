"""How results are shown: the HTML report, Markdown pages, lines on a terminal."""
