"""What the tasks from text to text share: arguments, data set, tokenizer sampling, baselines, pictures, pipeline."""
