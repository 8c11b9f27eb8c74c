"""The street: magics, arguments, rendering. IPython, ipywidgets and traitlets are used only here."""
