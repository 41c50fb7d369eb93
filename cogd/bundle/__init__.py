"""Bundles: signed, self-contained, self-checking model packages. Import the modules one by one."""
