//! Who calls.

/// Who made a request; travels in its extensions. There is no authentication yet, so
/// everybody is anonymous and may do everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Principal {
    /// Nobody in particular.
    #[default]
    Anonymous,
}

impl Principal {
    /// Who made this request.
    pub fn of<T>(request: &tonic::Request<T>) -> Self {
        request.extensions().get::<Self>().copied().unwrap_or_default()
    }
}
