"""AIME 2024 with figures only where a problem needs them: `id`, `problem`, `answer`."""


def process_docs(dataset):
    def item(row):
        return {"item_id": str(row["id"]), "prompt": row["problem"], "target": str(row["answer"])}

    return dataset.map(item, remove_columns=dataset.column_names)
