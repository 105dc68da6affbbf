"""Record of a run (``results.jsonl``): its format, and reading it."""
