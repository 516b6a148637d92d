"""A stand-in for Colab's own module: that it is loaded is how labkit recognises Colab."""
