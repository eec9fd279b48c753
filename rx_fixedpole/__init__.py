"""Fixed-pole recurrent receivers for OFDM links."""
