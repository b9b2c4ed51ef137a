"""What is handed on to other tools: labels to correct, networks to run."""
