"""Control: scorers, proposals, and the laws that steer samples."""
