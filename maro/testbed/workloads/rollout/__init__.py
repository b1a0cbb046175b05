"""A learner trains a policy for CartPole-v1 from the trajectories that its actors play."""
