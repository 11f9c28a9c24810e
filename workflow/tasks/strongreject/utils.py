"""StrongREJECT: forbidden prompts by category, from the hub or from its own CSV."""


def process_docs(dataset):
    def item(row, index):
        return {
            "item_id": str(index),
            "prompt": row.get("forbidden_prompt") or row["prompt"],
            "target": "",
            "category": row["category"],
        }

    return dataset.map(item, with_indices=True, remove_columns=dataset.column_names)
