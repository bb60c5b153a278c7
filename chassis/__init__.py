"""The microservice chassis: mechanism only. It knows nothing of talent, jobs or BTRST."""
