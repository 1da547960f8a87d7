"""What a sweep starts from, made once before it: files of problems, folders of models (`python -m sweep.prepare`)."""
