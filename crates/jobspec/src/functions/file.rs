use super::functions;
functions! {}
