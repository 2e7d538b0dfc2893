//! What goes wrong with a request, as the field says it: a status and a plain sentence.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use tarpan_control::csi::CsiError;
use tarpan_control::deployments::DeploymentError;
use tarpan_control::dispatch::DispatchError;
use tarpan_control::jobs::JobError;
use tarpan_control::nodes::NodeError;
use tarpan_control::periodic::PeriodicError;
use tarpan_control::volumes::VolumeError;
use tarpan_state::Rejection;

use super::meta::Meta;
use crate::errors::ProposeError;
use crate::node_request::NodeRequestError;

/// An answer that is not a success. Its body is the bare message.
#[derive(Debug)]
pub struct ApiError {
    pub status: StatusCode,
    pub message: String,
    /// What was read before it turned out to be missing.
    pub meta: Meta,
    /// Others wrote what this was decided on: deciding again helps.
    pub changed: bool,
}

/// How often a request is decided anew when others are faster.
pub const ATTEMPTS: usize = 32;

/// Runs a handler's part that reads, decides and writes, again as long as others write in between.
macro_rules! again {
    ($attempt:expr) => {{
        let mut left = $crate::http::error::ATTEMPTS;
        loop {
            left -= 1;
            match $attempt.await {
                Err(error) if error.changed && left > 0 => {}
                done => break done,
            }
        }
    }};
}
pub(crate) use again;

impl ApiError {
    pub fn new(status: StatusCode, message: impl ToString) -> ApiError {
        ApiError { status, message: message.to_string(), meta: Meta::default(), changed: false }
    }
    pub fn bad_request(message: impl ToString) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, message)
    }
    pub fn not_found(message: impl ToString) -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, message)
    }
    pub fn internal(message: impl ToString) -> ApiError {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }
    pub fn forbidden(message: impl ToString) -> ApiError {
        ApiError::new(StatusCode::FORBIDDEN, message)
    }
    /// The caller may not.
    pub fn denied() -> ApiError {
        ApiError::forbidden("Permission denied")
    }
    pub fn invalid_method() -> ApiError {
        ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "Invalid method")
    }

    pub fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        if !self.message.is_empty() {
            let text = HeaderValue::from_static("text/plain; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, text);
            *response.body_mut() = Body::from(self.message);
        }
        self.meta.write(response.headers_mut());
        response
    }
}

impl From<Rejection> for ApiError {
    fn from(why: Rejection) -> Self {
        match &why {
            Rejection::JobNotFound
            | Rejection::NodeNotFound
            | Rejection::AllocNotFound
            | Rejection::VersionNotFound(_)
            | Rejection::DeploymentNotFound => ApiError::not_found(why),
            Rejection::Changed => ApiError { changed: true, ..ApiError::internal(why) },
            Rejection::JobModifyIndex { .. } | Rejection::Other(_) => ApiError::internal(why),
        }
    }
}

impl From<ProposeError> for ApiError {
    fn from(why: ProposeError) -> Self {
        let status = match &why {
            ProposeError::NoRoom(_) => StatusCode::SERVICE_UNAVAILABLE,
            ProposeError::NoLeader
            | ProposeError::NoMajority
            | ProposeError::Behind { .. }
            | ProposeError::TooLarge { .. }
            | ProposeError::Log(_)
            | ProposeError::Shutdown => StatusCode::INTERNAL_SERVER_ERROR,
        };
        ApiError::new(status, why)
    }
}

impl From<JobError> for ApiError {
    fn from(why: JobError) -> Self {
        match &why {
            JobError::NotFound | JobError::NoSuchJob(_) => ApiError::not_found(why),
            JobError::RegistrationOff => ApiError::forbidden(why),
            JobError::EvalPriority | JobError::Asked(_) => ApiError::bad_request(why),
            JobError::Refused(_) => ApiError::internal(why),
        }
    }
}

impl From<DispatchError> for ApiError {
    fn from(why: DispatchError) -> Self {
        ApiError::internal(why)
    }
}

impl From<PeriodicError> for ApiError {
    fn from(why: PeriodicError) -> Self {
        match why {
            PeriodicError::NotFound => ApiError::not_found(why),
            PeriodicError::Cron { .. }
            | PeriodicError::TimeZone(_)
            | PeriodicError::NotPeriodic
            | PeriodicError::NotTracked(_) => ApiError::internal(why),
        }
    }
}

impl From<NodeError> for ApiError {
    fn from(why: NodeError) -> Self {
        match why {
            // Wishes about a node that is not there are errors like others in the field, unlike reading it.
            NodeError::NotFound | NodeError::Draining => ApiError::internal(why),
        }
    }
}

impl From<VolumeError> for ApiError {
    fn from(why: VolumeError) -> Self {
        match &why {
            VolumeError::NotFound | VolumeError::NoClaim => ApiError::not_found(why),
            VolumeError::Asked(_) => ApiError::bad_request(why),
            VolumeError::Refused(_) => ApiError::internal(why),
        }
    }
}

impl From<CsiError> for ApiError {
    fn from(why: CsiError) -> Self {
        match &why {
            CsiError::NotFound => ApiError::not_found(why),
            CsiError::NoPlugin(_) | CsiError::Refused(_) => ApiError::internal(why),
        }
    }
}

impl From<DeploymentError> for ApiError {
    fn from(why: DeploymentError) -> Self {
        match &why {
            DeploymentError::NotFound => ApiError::not_found(why),
            DeploymentError::Terminal(_)
            | DeploymentError::TerminalHealth
            | DeploymentError::NotHealthy { .. }
            | DeploymentError::Other(_) => ApiError::internal(why),
        }
    }
}

impl From<NodeRequestError> for ApiError {
    fn from(why: NodeRequestError) -> Self {
        match why {
            NodeRequestError::UnknownNode(_) | NodeRequestError::NoPath(_) => ApiError::not_found(why),
            NodeRequestError::Timeout(_) => ApiError::internal(why),
            NodeRequestError::Agent { status, message } => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                ApiError::new(status, message)
            }
        }
    }
}
