"""Ways of bringing knowledge back: one file each; the folder is the registry. See :mod:`brittle.contracts`."""
