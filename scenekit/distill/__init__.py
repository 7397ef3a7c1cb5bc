"""How one scene becomes another: a teacher is asked at points and photographed, a student learns what it answers."""
