//! What an answer begins with: how it went, as a number and in words.

/// A status code (RFC 9110, section 15): three digits, the first of them from 1 to 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status(u16);

impl Status {
    pub const OK: Self = Self(200);
    pub const CREATED: Self = Self(201);
    pub const ACCEPTED: Self = Self(202);
    pub const NO_CONTENT: Self = Self(204);
    pub const RESET_CONTENT: Self = Self(205);
    pub const PARTIAL_CONTENT: Self = Self(206);
    pub const MOVED_PERMANENTLY: Self = Self(301);
    pub const FOUND: Self = Self(302);
    pub const SEE_OTHER: Self = Self(303);
    pub const NOT_MODIFIED: Self = Self(304);
    pub const TEMPORARY_REDIRECT: Self = Self(307);
    pub const PERMANENT_REDIRECT: Self = Self(308);
    pub const BAD_REQUEST: Self = Self(400);
    pub const UNAUTHORIZED: Self = Self(401);
    pub const FORBIDDEN: Self = Self(403);
    pub const NOT_FOUND: Self = Self(404);
    pub const METHOD_NOT_ALLOWED: Self = Self(405);
    pub const REQUEST_TIMEOUT: Self = Self(408);
    pub const CONFLICT: Self = Self(409);
    pub const GONE: Self = Self(410);
    pub const PRECONDITION_FAILED: Self = Self(412);
    pub const CONTENT_TOO_LARGE: Self = Self(413);
    pub const URI_TOO_LONG: Self = Self(414);
    pub const UNSUPPORTED_MEDIA_TYPE: Self = Self(415);
    pub const RANGE_NOT_SATISFIABLE: Self = Self(416);
    pub const EXPECTATION_FAILED: Self = Self(417);
    pub const TOO_MANY_REQUESTS: Self = Self(429);
    /// RFC 6585, section 5.
    pub const HEADERS_TOO_LARGE: Self = Self(431);
    pub const INTERNAL_SERVER_ERROR: Self = Self(500);
    pub const NOT_IMPLEMENTED: Self = Self(501);
    pub const BAD_GATEWAY: Self = Self(502);
    pub const SERVICE_UNAVAILABLE: Self = Self(503);
    pub const GATEWAY_TIMEOUT: Self = Self(504);
    pub const VERSION_NOT_SUPPORTED: Self = Self(505);

    /// The status of this number; none below 100 or above 599.
    pub const fn of(code: u16) -> Option<Self> {
        if 100 <= code && code <= 599 { Some(Self(code)) } else { None }
    }

    /// Its number.
    pub const fn code(self) -> u16 {
        self.0
    }

    /// Its name, for people: programs go by the number. Empty for one that isn't among
    /// the constants.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::OK => "OK",
            Self::CREATED => "Created",
            Self::ACCEPTED => "Accepted",
            Self::NO_CONTENT => "No Content",
            Self::RESET_CONTENT => "Reset Content",
            Self::PARTIAL_CONTENT => "Partial Content",
            Self::MOVED_PERMANENTLY => "Moved Permanently",
            Self::FOUND => "Found",
            Self::SEE_OTHER => "See Other",
            Self::NOT_MODIFIED => "Not Modified",
            Self::TEMPORARY_REDIRECT => "Temporary Redirect",
            Self::PERMANENT_REDIRECT => "Permanent Redirect",
            Self::BAD_REQUEST => "Bad Request",
            Self::UNAUTHORIZED => "Unauthorized",
            Self::FORBIDDEN => "Forbidden",
            Self::NOT_FOUND => "Not Found",
            Self::METHOD_NOT_ALLOWED => "Method Not Allowed",
            Self::REQUEST_TIMEOUT => "Request Timeout",
            Self::CONFLICT => "Conflict",
            Self::GONE => "Gone",
            Self::PRECONDITION_FAILED => "Precondition Failed",
            Self::CONTENT_TOO_LARGE => "Content Too Large",
            Self::URI_TOO_LONG => "URI Too Long",
            Self::UNSUPPORTED_MEDIA_TYPE => "Unsupported Media Type",
            Self::RANGE_NOT_SATISFIABLE => "Range Not Satisfiable",
            Self::EXPECTATION_FAILED => "Expectation Failed",
            Self::TOO_MANY_REQUESTS => "Too Many Requests",
            Self::HEADERS_TOO_LARGE => "Request Header Fields Too Large",
            Self::INTERNAL_SERVER_ERROR => "Internal Server Error",
            Self::NOT_IMPLEMENTED => "Not Implemented",
            Self::BAD_GATEWAY => "Bad Gateway",
            Self::SERVICE_UNAVAILABLE => "Service Unavailable",
            Self::GATEWAY_TIMEOUT => "Gateway Timeout",
            Self::VERSION_NOT_SUPPORTED => "HTTP Version Not Supported",
            _ => "",
        }
    }

    /// No body follows its head, whatever the head says: the next answer does (RFC 9112,
    /// section 6.3). 205 isn't among them, so its head must say that the body is empty.
    pub const fn has_no_body(self) -> bool {
        self.0 < 200 || matches!(self, Self::NO_CONTENT | Self::NOT_MODIFIED)
    }
}
