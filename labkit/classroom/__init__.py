"""For a class: update students' labs, export to nbgrader, grade a folder, mirror the data."""
