"""Read and change the repos and collections that VED publishes to."""
