"""The one-class protocol: each class of a labelled set is normal in turn."""
