"""Where models, texts and questions come from: the embedded laboratory, WMDP and its kin; one file each."""
