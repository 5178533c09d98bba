"""Jobs whose results are kept under a hash of all they depend on, and pages made of them."""
