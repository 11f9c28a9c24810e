"""MATH-500: `unique_id`, `problem`, `answer`, `subject`, `level`."""


def process_docs(dataset):
    def item(row):
        return {
            "item_id": row["unique_id"],
            "prompt": row["problem"],
            "target": row["answer"],
            "category": row["subject"],
            "level": row["level"],
        }

    return dataset.map(item, remove_columns=dataset.column_names)
