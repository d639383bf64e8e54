//! server stub
