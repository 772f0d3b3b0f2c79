"""Measurements that anyone can repeat: one question a script, ratios within one run."""
