"""The class names of the blood-cell data sets, in the order of their numbers."""

BLOOD_CLASSES = (
    "basophil",
    "eosinophil",
    "erythroblast",
    "immature granulocyte",
    "lymphocyte",
    "monocyte",
    "neutrophil",
    "platelet",
)
WHITE_CELL_CLASSES = ("B cell", "T cell", "eosinophil", "monocyte", "neutrophil")
