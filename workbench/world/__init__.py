"""World: the built-in prompts, pictures and tiny models with known truth, so that everything runs offline and can be scored."""
