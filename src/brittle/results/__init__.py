"""What results mean: tables read with care, judged and put into words of fixed sets. No HTML, no drawing, no models."""
