//! Reading expressions: operators by precedence, then steps, then what stands alone.

use super::parser::{Broken, Parser, Read};
use super::{BinaryOp, Expr, ExprKind, ForExpr, Ident, Key, Span, SplatStep, Step, StepKey, UnaryOp};
use crate::number::Number;

/// A chain of operators is a tree as deep as it is long.
const MAX_LINKS: usize = 200;
/// Chains inside of chains add up: this is as deep as anything that walks a tree goes.
const MAX_HEIGHT: u32 = 400;

impl Parser<'_> {
    pub(super) fn expr(&mut self) -> Read<Expr> {
        let here = Span::new(self.pos, self.pos + 1);
        self.deeper(here, Self::conditional)
    }

    fn conditional(&mut self) -> Read<Expr> {
        let test = self.binary(0)?;
        self.blanks();
        if self.peek() != Some(b'?') {
            return Ok(test);
        }
        self.pos += 1;
        let then = self.expr()?;
        self.blanks();
        if self.peek() != Some(b':') {
            return Err(self.error(
                self.here(),
                "Missing false expression in conditional",
                "A conditional needs a second result after a colon, for when its condition is false.",
            ));
        }
        self.pos += 1;
        let otherwise = self.expr()?;
        let span = test.span.to(otherwise.span);
        let kind = ExprKind::Conditional { test: Box::new(test), then: Box::new(then), otherwise: Box::new(otherwise) };
        Ok(self.make(kind, span))
    }

    fn binary(&mut self, least: u8) -> Read<Expr> {
        let mut left = self.unary()?;
        let mut links = 0;
        loop {
            self.blanks();
            let Some((op, width, strength)) = self.operator() else {
                return Ok(left);
            };
            if strength < least {
                return Ok(left);
            }
            links += 1;
            let here = self.here();
            if links > MAX_LINKS {
                return Err(self.too_long(here));
            }
            self.pos += width;
            let right = self.deeper(here, |p| p.binary(strength + 1))?;
            let span = left.span.to(right.span);
            left = self.make(ExprKind::Binary { op, left: Box::new(left), right: Box::new(right) }, span);
        }
    }

    fn operator(&self) -> Option<(BinaryOp, usize, u8)> {
        Some(match (self.peek()?, self.peek_at(1)) {
            (b'|', Some(b'|')) => (BinaryOp::Or, 2, 1),
            (b'&', Some(b'&')) => (BinaryOp::And, 2, 2),
            (b'=', Some(b'=')) => (BinaryOp::Equal, 2, 3),
            (b'!', Some(b'=')) => (BinaryOp::NotEqual, 2, 3),
            (b'<', Some(b'=')) => (BinaryOp::LessEqual, 2, 4),
            (b'>', Some(b'=')) => (BinaryOp::GreaterEqual, 2, 4),
            (b'<', _) => (BinaryOp::Less, 1, 4),
            (b'>', _) => (BinaryOp::Greater, 1, 4),
            (b'+', _) => (BinaryOp::Add, 1, 5),
            (b'-', _) => (BinaryOp::Subtract, 1, 5),
            (b'*', _) => (BinaryOp::Multiply, 1, 6),
            (b'/', _) => (BinaryOp::Divide, 1, 6),
            (b'%', _) => (BinaryOp::Modulo, 1, 6),
            _ => return None,
        })
    }

    fn unary(&mut self) -> Read<Expr> {
        self.blanks();
        let start = self.pos;
        let op = match self.peek() {
            Some(b'-') => UnaryOp::Negate,
            Some(b'!') => UnaryOp::Not,
            _ => return self.postfix(),
        };
        self.pos += 1;
        let operand = self.deeper(Span::new(start, start + 1), Self::unary)?;
        let span = Span { start: start as u32, end: operand.span.end };
        Ok(self.make(ExprKind::Unary { op, operand: Box::new(operand) }, span))
    }

    fn postfix(&mut self) -> Read<Expr> {
        let mut expr = self.primary()?;
        let mut links = 0;
        loop {
            let before = self.pos;
            self.blanks();
            links += 1;
            match self.peek() {
                Some(b'.' | b'[') if links > MAX_LINKS => {
                    let here = self.here();
                    return Err(self.too_long(here));
                }
                Some(b'.') if self.peek_at(1) != Some(b'.') => expr = self.dotted(expr)?,
                Some(b'[') => expr = self.indexed(expr)?,
                _ => {
                    self.pos = before;
                    return Ok(expr);
                }
            }
        }
    }

    fn dotted(&mut self, source: Expr) -> Read<Expr> {
        let dot = self.pos;
        self.pos += 1;
        self.blanks();
        if self.peek() == Some(b'*') {
            self.pos += 1;
            let mut each = Vec::new();
            while self.peek() == Some(b'.') && self.peek_at(1) != Some(b'.') {
                let dot = self.pos;
                self.pos += 1;
                let step = self.step_after_dot(dot)?;
                each.push(SplatStep::Static(step));
            }
            let span = Span { start: source.span.start, end: self.pos as u32 };
            return Ok(self.make(ExprKind::Splat { source: Box::new(source), each }, span));
        }
        let step = self.step_after_dot(dot)?;
        Ok(self.add_step(source, step))
    }

    fn step_after_dot(&mut self, dot: usize) -> Read<Step> {
        if let Some(name) = self.ident() {
            let span = Span::new(dot, self.pos);
            return Ok(Step { key: StepKey::Attr(name.text), span });
        }
        let digits = self.bytes[self.pos..].iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return Err(self.error(
                Span::new(dot, dot + 1),
                "Invalid attribute name",
                "An attribute name is required after a dot.",
            ));
        }
        let start = self.pos;
        self.pos += digits;
        let number = self.number_from(start)?;
        Ok(Step { key: StepKey::Number(number), span: Span::new(dot, self.pos) })
    }

    fn indexed(&mut self, source: Expr) -> Read<Expr> {
        let open = self.pos;
        self.pos += 1;
        let outer = std::mem::replace(&mut self.skip_newlines, true);
        self.blanks();
        if self.peek() == Some(b'*') {
            self.pos += 1;
            self.close(b']', open, "index")?;
            self.skip_newlines = outer;
            return self.full_splat(source);
        }
        let key = self.expr()?;
        self.close(b']', open, "index")?;
        self.skip_newlines = outer;
        let span = Span::new(open, self.pos);
        Ok(self.add_index(source, key, span))
    }

    fn full_splat(&mut self, source: Expr) -> Read<Expr> {
        let mut each = Vec::new();
        loop {
            match self.peek() {
                Some(b'.') if self.peek_at(1) != Some(b'.') => {
                    let dot = self.pos;
                    self.pos += 1;
                    each.push(SplatStep::Static(self.step_after_dot(dot)?));
                }
                Some(b'[') if self.peek_at(1) != Some(b'*') => {
                    let open = self.pos;
                    self.pos += 1;
                    let outer = std::mem::replace(&mut self.skip_newlines, true);
                    let key = self.expr()?;
                    self.close(b']', open, "index")?;
                    self.skip_newlines = outer;
                    each.push(SplatStep::Index(key));
                }
                _ => break,
            }
        }
        let span = Span { start: source.span.start, end: self.pos as u32 };
        Ok(self.make(ExprKind::Splat { source: Box::new(source), each }, span))
    }

    fn primary(&mut self) -> Read<Expr> {
        self.blanks();
        let start = self.pos;
        match self.peek() {
            Some(b'0'..=b'9') => self.number(),
            Some(b'"') => self.quoted(),
            Some(b'<') if self.starts_with("<<") => self.heredoc(),
            Some(b'(') => {
                self.pos += 1;
                let inner = self.within(|p| {
                    let inner = p.expr()?;
                    p.close(b')', start, "parentheses")?;
                    Ok(inner)
                })?;
                Ok(self.finish(start, ExprKind::Paren(Box::new(inner))))
            }
            Some(b'[') => self.tuple(),
            Some(b'{') => self.object(),
            _ => match self.ident() {
                Some(name) => self.named(name),
                None => Err(self.no_expression()),
            },
        }
    }

    fn too_long(&mut self, here: Span) -> Broken {
        self.error(here, "Too long an expression", format!("One expression may chain {MAX_LINKS} operators or steps."))
    }

    fn no_expression(&mut self) -> Broken {
        let (span, detail) = match self.peek() {
            None | Some(b'\n') => {
                (Span::new(self.pos, self.pos), "Expected the start of an expression, but the line ends here.")
            }
            Some(_) => (self.here(), "Expected the start of an expression."),
        };
        self.error(span, "Invalid expression", detail)
    }

    fn number(&mut self) -> Read<Expr> {
        let start = self.pos;
        let digits = |p: &mut Self| {
            while p.peek().is_some_and(|b| b.is_ascii_digit()) {
                p.pos += 1;
            }
        };
        digits(self);
        if self.peek() == Some(b'.') && self.peek_at(1).is_some_and(|b| b.is_ascii_digit()) {
            self.pos += 1;
            digits(self);
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.peek_at(1), Some(b'+' | b'-')));
            if self.peek_at(1 + sign).is_some_and(|b| b.is_ascii_digit()) {
                self.pos += 1 + sign;
                digits(self);
            }
        }
        let number = self.number_from(start)?;
        Ok(self.finish(start, ExprKind::Number(number)))
    }

    /// What was read from `start` on.
    fn number_from(&mut self, start: usize) -> Read<Number> {
        Number::parse(&self.text[start..self.pos]).ok_or_else(|| {
            self.error(
                Span::new(start, self.pos),
                "Invalid number literal",
                "This number is too large or too small to be used.",
            )
        })
    }

    fn named(&mut self, mut name: Ident) -> Read<Expr> {
        let start = name.span.start as usize;
        while self.starts_with("::") {
            self.pos += 2;
            let Some(next) = self.ident() else {
                return Err(self.error(self.here(), "Missing function name", "A name is required after \"::\"."));
            };
            name.text = format!("{}::{}", name.text, next.text);
            name.span = name.span.to(next.span);
        }
        let before = self.pos;
        self.blanks();
        if self.peek() == Some(b'(') {
            return self.call(name);
        }
        self.pos = before;
        let kind = match name.text.as_str() {
            "true" => ExprKind::Bool(true),
            "false" => ExprKind::Bool(false),
            "null" => ExprKind::Null,
            _ => ExprKind::Traversal { root: name, steps: Vec::new() },
        };
        Ok(self.finish(start, kind))
    }

    fn call(&mut self, name: Ident) -> Read<Expr> {
        let (start, open) = (name.span.start as usize, self.pos);
        self.pos += 1;
        let mut args = Vec::new();
        let mut spread = false;
        self.within(|p| {
            loop {
                p.blanks();
                if p.peek() == Some(b')') {
                    break;
                }
                args.push(p.expr()?);
                p.blanks();
                if p.starts_with("...") {
                    p.pos += 3;
                    spread = true;
                    p.blanks();
                    break;
                }
                match p.peek() {
                    Some(b',') => p.pos += 1,
                    Some(b')') => break,
                    None => break,
                    _ => {
                        return Err(p.error(
                            p.here(),
                            "Missing argument separator",
                            "A comma is required between the arguments of a function.",
                        ));
                    }
                }
            }
            p.close(b')', open, "function call")
        })?;
        Ok(self.finish(start, ExprKind::Call { name, args, spread }))
    }

    fn tuple(&mut self) -> Read<Expr> {
        let open = self.pos;
        self.pos += 1;
        let kind = self.within(|p| {
            p.blanks();
            if p.for_ahead() {
                return p.for_expr(b']', open);
            }
            let mut items = Vec::new();
            loop {
                p.blanks();
                if p.peek() == Some(b']') {
                    break;
                }
                if p.at_end() {
                    break;
                }
                items.push(p.expr()?);
                p.blanks();
                match p.peek() {
                    Some(b',') => p.pos += 1,
                    Some(b']') | None => break,
                    _ => {
                        return Err(p.error(
                            p.here(),
                            "Missing item separator",
                            "Expected a comma before the next item of the list.",
                        ));
                    }
                }
            }
            p.close(b']', open, "list")?;
            Ok(ExprKind::Tuple(items))
        })?;
        Ok(self.finish(open, kind))
    }

    fn object(&mut self) -> Read<Expr> {
        let open = self.pos;
        self.pos += 1;
        self.blank_lines();
        if self.for_ahead() {
            let kind = self.within(|p| p.for_expr(b'}', open))?;
            return Ok(self.finish(open, kind));
        }
        let outer = std::mem::replace(&mut self.skip_newlines, false);
        let mut items = Vec::new();
        loop {
            self.blank_lines();
            if self.at_end() || self.peek() == Some(b'}') {
                break;
            }
            items.push(self.object_item()?);
            self.blanks();
            match self.peek() {
                Some(b',') => self.pos += 1,
                Some(b'\n' | b'}') | None => {}
                _ => {
                    return Err(self.error(
                        self.here(),
                        "Missing attribute separator",
                        "Expected a newline or comma before the next item of the map.",
                    ));
                }
            }
        }
        self.skip_newlines = outer;
        self.close(b'}', open, "map")?;
        Ok(self.finish(open, ExprKind::Object(items)))
    }

    fn object_item(&mut self) -> Read<(Key, Expr)> {
        let before = self.pos;
        let key = match self.ident() {
            Some(name)
                if {
                    self.blanks();
                    matches!(self.peek(), Some(b'=' | b':')) && self.peek_at(1) != Some(b'=')
                } =>
            {
                Key::Name(name)
            }
            _ => {
                self.pos = before;
                Key::Expr(self.expr()?)
            }
        };
        self.blanks();
        if !matches!(self.peek(), Some(b'=' | b':')) {
            return Err(self.error(
                self.here(),
                "Missing attribute value",
                "Expected an equals sign \"=\" or a colon after the key, and then its value.",
            ));
        }
        self.pos += 1;
        let value = self.expr()?;
        Ok((key, value))
    }

    fn for_ahead(&self) -> bool {
        self.starts_with("for")
            && matches!(self.peek_at(3), Some(b' ' | b'\t'))
            && self.text[self.pos + 3..].trim_start().starts_with(|c: char| c == '_' || c.is_alphabetic())
    }

    fn for_expr(&mut self, closing: u8, open: usize) -> Read<ExprKind> {
        self.pos += 3;
        let (key_name, value_name, source) = self.for_intro()?;
        self.blanks();
        if self.peek() != Some(b':') {
            return Err(self.error(
                self.here(),
                "Invalid 'for' expression",
                "A colon is required between the collection and the result of a 'for' expression.",
            ));
        }
        self.pos += 1;
        let mut value = self.expr()?;
        let mut key = None;
        self.blanks();
        if self.starts_with("=>") {
            self.pos += 2;
            key = Some(std::mem::replace(&mut value, Expr::new(ExprKind::Null, Span::default())));
            value = self.expr()?;
            self.blanks();
        }
        if key.is_some() != (closing == b'}') {
            return Err(self.error(
                Span::new(open, open + 1),
                "Invalid 'for' expression",
                "Between braces a 'for' expression gives key => value; between brackets it gives a value alone.",
            ));
        }
        let group = self.starts_with("...") && key.is_some();
        if group {
            self.pos += 3;
            self.blanks();
        }
        let mut test = None;
        if self.starts_with("if") && !self.peek_at(2).is_some_and(|b| b == b'_' || b.is_ascii_alphanumeric()) {
            self.pos += 2;
            test = Some(self.expr()?);
        }
        self.close(closing, open, "'for' expression")?;
        Ok(ExprKind::For(Box::new(ForExpr { key_name, value_name, source, key, value, group, test })))
    }

    /// `k, v in source`, after the word `for`.
    pub(super) fn for_intro(&mut self) -> Read<(Option<Ident>, Ident, Expr)> {
        self.blanks();
        let mut value_name = self.for_name()?;
        let mut key_name = None;
        self.blanks();
        if self.peek() == Some(b',') {
            self.pos += 1;
            self.blanks();
            key_name = Some(value_name);
            value_name = self.for_name()?;
            self.blanks();
        }
        match self.ident() {
            Some(word) if word.text == "in" => {}
            _ => {
                return Err(self.error(
                    self.here(),
                    "Invalid 'for' expression",
                    "The word \"in\" and a collection are required after the names.",
                ));
            }
        }
        let source = self.expr()?;
        Ok((key_name, value_name, source))
    }

    fn for_name(&mut self) -> Read<Ident> {
        self.ident().ok_or_else(|| {
            self.error(self.here(), "Invalid 'for' expression", "A 'for' expression needs a name for its elements.")
        })
    }

    /// Reads the closing `byte` of what began at `open`.
    fn close(&mut self, byte: u8, open: usize, what: &str) -> Read<()> {
        self.blanks();
        if self.peek() == Some(byte) {
            self.pos += 1;
            return Ok(());
        }
        let wanted = char::from(byte);
        Err(if self.at_end() {
            let detail = format!("There is no closing \"{wanted}\" for this {what} before the end of the file.");
            self.error(Span::new(open, open + 1), "Unclosed expression", detail)
        } else {
            let detail = format!("Expected \"{wanted}\" to end the {what}.");
            self.error(self.here(), "Invalid expression", detail)
        })
    }

    /// Reads between brackets, where newlines are blanks.
    pub(super) fn within<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        let outer = std::mem::replace(&mut self.skip_newlines, true);
        let result = read(self);
        self.skip_newlines = outer;
        result
    }

    pub(super) fn here(&self) -> Span {
        Span::new(self.pos, (self.pos + if self.at_end() { 0 } else { self.char_width() }).min(self.text.len()))
    }

    pub(super) fn finish(&mut self, start: usize, kind: ExprKind) -> Expr {
        self.make(kind, Span::new(start, self.pos))
    }

    /// An expression, paid for; what walks the tree recurses, so it may not become too high.
    fn make(&mut self, kind: ExprKind, span: Span) -> Expr {
        let expr = Expr::new(kind, span);
        self.hold(size_of::<Expr>());
        if expr.height > MAX_HEIGHT {
            self.give_up(span, "Too deeply nested", format!("An expression may be {MAX_HEIGHT} levels high."));
        }
        expr
    }

    fn add_step(&mut self, source: Expr, step: Step) -> Expr {
        self.hold(size_of::<Step>());
        let span = Span { start: source.span.start, end: step.span.end };
        let kind = match source.kind {
            ExprKind::Traversal { root, mut steps } => {
                steps.push(step);
                return Expr::new(ExprKind::Traversal { root, steps }, span);
            }
            kind => ExprKind::Relative { source: Box::new(Expr { kind, ..source }), step },
        };
        self.make(kind, span)
    }

    /// An index known now is a step, any other is computed.
    fn add_index(&mut self, source: Expr, key: Expr, span: Span) -> Expr {
        let known = match &key.kind {
            ExprKind::Number(number) => Some(StepKey::Number(number.clone())),
            ExprKind::Template(template) => template.literal().map(|name| StepKey::Name(name.to_owned())),
            _ => None,
        };
        if let Some(key) = known {
            return self.add_step(source, Step { key, span });
        }
        let whole = Span { start: source.span.start, end: span.end };
        self.make(ExprKind::Index { source: Box::new(source), key: Box::new(key) }, whole)
    }
}
