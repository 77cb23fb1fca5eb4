"""Back ends: printers of a Network. They never import each other."""
