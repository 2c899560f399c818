"""What is installed, built and released: locked lists, wheels, bills of materials, licences. Scripts of the Makefile."""
