"""Language models as files, as objects and as functions of text. The only folder that imports transformers."""
