"""The app: talk to models side by side and read what runs have found. One file per page; ``main.py`` is what Streamlit runs."""
