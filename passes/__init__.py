"""The passes, one file each."""

if __name__ != "cimc.passes":
    raise ImportError("import cimc.passes, not passes")
