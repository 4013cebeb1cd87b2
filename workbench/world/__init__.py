"""World: the built-in corpus with known truth, so that everything runs offline and can be scored."""
