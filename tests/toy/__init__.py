"""A method and a network as docs/extending.md adds them, from outside of src/."""
