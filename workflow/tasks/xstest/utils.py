"""XSTest: the safe prompts, which a model that refuses too much refuses."""


def process_docs(dataset):
    safe = [index for index, label in enumerate(dataset["label"]) if label == "safe"]

    def item(row, index):
        return {
            "item_id": str(row.get("id") or safe[index] + 1),
            "prompt": row["prompt"],
            "target": "",
            "category": row["type"],
        }

    return dataset.select(safe).map(item, with_indices=True, remove_columns=dataset.column_names)
