"""Who is connected, who that is and for how long, and how many there may be."""
