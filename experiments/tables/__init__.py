"""The paper's tables and figures on data that everybody can get, and the paper's own figures beside them."""
