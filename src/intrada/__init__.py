"""IntraDA's ranking of target images, between its two stages."""
