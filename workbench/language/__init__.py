"""Language: the template language of prompts, from units to `DeepDSL`."""
