"""The targets: one YAML a device, the schema that checks them, and the loader."""

if __name__ != "cimc.targets":
    raise ImportError("import cimc.targets, not targets")
