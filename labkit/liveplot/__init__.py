"""``LivePlot``: watch the training, keep the picture.

`record` holds what is drawn as plain Python, `painting` makes drawings of it, `sheet` puts them
into SVG or PNG, `renderers` bring them to the screen, `plot` is the class that students use.
"""
