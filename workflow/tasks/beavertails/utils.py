"""BeaverTails: prompts of the first 1,000 rows of `30k_test` whose response is unsafe.

Prompts come more than once, since the data set is one of responses; the benchmark's key
`unique_prompts` keeps the first of each.
"""

N_UNSAFE = 1000


def process_docs(dataset):
    unsafe = [index for index, safe in enumerate(dataset["is_safe"]) if not safe][:N_UNSAFE]

    def item(row, index):
        categories = row.get("category") or {}
        return {
            "item_id": str(unsafe[index]),
            "prompt": row["prompt"],
            "target": "",
            "category": ",".join(sorted(name for name, given in categories.items() if given)),
        }

    rows = dataset.select(unsafe)
    return rows.map(item, with_indices=True, remove_columns=dataset.column_names)
