"""What the task files of this folder name by `!function`."""

import re


def add_hour(rows):
    return rows.map(lambda row: {"hour": (row["start"] + row["add"]) % 12})


def grade(doc, results):
    """Distance on a clock of 12 hours: at most 6."""
    said = re.search("[0-9]+", results[0])
    apart = abs(int(said[0]) % 12 - doc["hour"]) if said else 6
    apart = min(apart, 12 - apart)
    return {"most": (doc["hour"], apart), "nearness": 1 - apart / 6, "distance": apart}


def most(values):
    return max(apart for _, apart in values)
