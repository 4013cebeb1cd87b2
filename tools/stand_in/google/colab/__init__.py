"""A stand-in for Colab's package, for tools/colab.py: what a notebook may call, with no browser and nobody behind it."""

from google.colab import drive, files, output, userdata  # noqa: F401  as in Colab, all four are there after `import google.colab`
