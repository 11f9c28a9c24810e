"""GSM8K: `question`, and `answer` that ends with `#### <number>`."""


def process_docs(dataset):
    def item(row, index):
        target = row["answer"].rpartition("####")[2].strip().replace(",", "")
        return {"item_id": str(index), "prompt": row["question"], "target": target}

    return dataset.map(item, with_indices=True, remove_columns=dataset.column_names)
