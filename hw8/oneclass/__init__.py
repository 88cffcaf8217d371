"""The one-class protocol: each class of a labelled set in turn is normal."""
